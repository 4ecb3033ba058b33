"""Tests of `skembed.words`. Its public names are tested in tests/test_import.py."""
