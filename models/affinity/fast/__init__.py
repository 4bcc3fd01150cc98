"""Compiled loops behind the readable files of ``models.affinity``."""
