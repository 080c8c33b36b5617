"""Offline: what election officials and trustees do, each act a signed entry handed in at the door."""
