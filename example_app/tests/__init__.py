"""Tests of the example app, as your app could have them: no network, no passwords, no mocks."""
