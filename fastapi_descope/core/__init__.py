"""Decides who is calling; knows no web framework."""
