"""Answers and labels -> metrics, what they say beside the champion's, and the pages that tell it."""
