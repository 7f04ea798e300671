"""OpenTelemetry metrics and spans, log lines, and redaction of secrets."""
