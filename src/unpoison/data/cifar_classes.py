"""Names of the CIFAR-10 classes, for files that do not carry them."""

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
