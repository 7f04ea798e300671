"""Fieldnotes: a small B2B product, site inspection reports by organisation, that signs in through Descope."""
