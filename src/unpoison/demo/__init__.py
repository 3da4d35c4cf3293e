"""The whole way on real pictures, in minutes: poison, purify, train, score, and a page to look at."""
