"""Cosmic-ray tools on arrays: detectors of single images, hysteresis and clusters."""
