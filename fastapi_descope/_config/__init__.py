"""Building blocks of the settings: value types, environment sources, origins."""
