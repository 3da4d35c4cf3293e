"""Networks, the noise schedules they were trained with, and their weights. No training here."""
