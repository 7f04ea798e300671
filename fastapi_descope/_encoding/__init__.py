"""Strict base64url and JSON decoding, and an immutable dict."""
