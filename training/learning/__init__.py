"""Shards -> a network that has learnt."""
