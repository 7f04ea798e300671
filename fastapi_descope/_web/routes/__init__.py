"""The routes of the plugin: login, callback, logout, tenant switch, session."""
