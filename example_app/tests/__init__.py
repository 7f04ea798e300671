"""Tests of the example app, as an app of yours would have them: no network, no password, no mocks."""
