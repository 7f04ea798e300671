"""Builds the site from docs/: generated references, navigation, link check. Not part of the package."""
