"""The architectures by name. Each is a builder `(classes, width) -> nn.Module` with pytorch-cifar's parameter names."""

from __future__ import annotations

METHODS = {
    "resnet18": "unpoison.classify.resnet:resnet18",
    "resnet50": "unpoison.classify.resnet:resnet50",
    "mobilenetv2": "unpoison.classify.mobilenet:mobilenetv2",
    "vgg11": "unpoison.classify.vgg:vgg11",
    "vgg16": "unpoison.classify.vgg:vgg16",
    "vgg19": "unpoison.classify.vgg:vgg19",
    "densenet121": "unpoison.classify.densenet:densenet121",
    "unet": "unpoison.classify.unet:unet",
    "densenet121-eclipse": "unpoison.classify.densenet:densenet121_eclipse",
}
