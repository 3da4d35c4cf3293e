"""The architectures by name. Each is a builder `(classes, width) -> nn.Module`; width 64 gives the published net.

Parameters have pytorch-cifar's names where it has the net.
"""

from __future__ import annotations

METHODS = {
    "resnet18": "unpoison.classify.resnet:resnet18",
    "resnet34": "unpoison.classify.resnet:resnet34",
    "resnet50": "unpoison.classify.resnet:resnet50",
    "mobilenetv2": "unpoison.classify.mobilenet:mobilenetv2",
    "vgg11": "unpoison.classify.vgg:vgg11",
    "vgg16": "unpoison.classify.vgg:vgg16",
    "vgg19": "unpoison.classify.vgg:vgg19",
    "densenet121": "unpoison.classify.densenet:densenet121",
    "hlb-s": "unpoison.classify.hlb:hlb_s",
    "hlb-m": "unpoison.classify.hlb:hlb_m",
    "hlb-l": "unpoison.classify.hlb:hlb_l",
    "airbench94": "unpoison.classify.hlb:airbench94",
    "vit": "unpoison.classify.vit:vit",
    "unet": "unpoison.classify.unet:unet",
    "densenet121-eclipse": "unpoison.classify.densenet:densenet121_eclipse",
}
