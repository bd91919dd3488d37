"""Detector physics shared by all capabilities: noise, flags, pixel regions."""
