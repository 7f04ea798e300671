"""Strict base64url and JSON, readers of JSON fields, and an immutable dict."""
