"""The maths of moving an image: samplers and Langevin dynamics. Knows networks only by their protocols."""
