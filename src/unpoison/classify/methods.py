"""The architectures by name. Each is a builder `(classes, width) -> nn.Module`; width 64 gives the published net.

Parameters have pytorch-cifar's names where it has the net.
"""

from __future__ import annotations

METHODS = {
    "resnet18": "unpoison.classify.architectures.resnet:resnet18",
    "resnet34": "unpoison.classify.architectures.resnet:resnet34",
    "resnet50": "unpoison.classify.architectures.resnet:resnet50",
    "mobilenetv2": "unpoison.classify.architectures.mobilenet:mobilenetv2",
    "vgg11": "unpoison.classify.architectures.vgg:vgg11",
    "vgg16": "unpoison.classify.architectures.vgg:vgg16",
    "vgg19": "unpoison.classify.architectures.vgg:vgg19",
    "densenet121": "unpoison.classify.architectures.densenet:densenet121",
    "hlb-s": "unpoison.classify.architectures.hlb:hlb_s",
    "hlb-m": "unpoison.classify.architectures.hlb:hlb_m",
    "hlb-l": "unpoison.classify.architectures.hlb:hlb_l",
    "airbench94": "unpoison.classify.architectures.hlb:airbench94",
    "vit": "unpoison.classify.architectures.vit:vit",
    "unet": "unpoison.classify.architectures.unet:unet",
    "densenet121-eclipse": "unpoison.classify.architectures.densenet:densenet121_eclipse",
}
