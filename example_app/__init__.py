"""Fieldnotes: a small B2B product for site inspection reports. Organisations sign in through Descope."""
