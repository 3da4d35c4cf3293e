"""purifiers"""
