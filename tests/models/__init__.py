"""Tests of the models' folders."""
