"""Refresh coordination: one refresh per token family, in a process and in a fleet."""
