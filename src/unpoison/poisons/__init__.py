"""poisons"""
