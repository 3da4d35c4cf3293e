"""The architectures that a weights file can name."""

from __future__ import annotations

METHODS = {
    "compact": "unpoison.nets.compact:CompactUNet",
    "pocket": "unpoison.nets.pocket:PocketUNet",
    "eclipse-unet": "unpoison.nets.eclipse_unet:build_eclipse_unet",
    "puregen-unet": "unpoison.nets.puregen_unet:build_puregen_unet",
    "diffusers-unet": "unpoison.nets.puregen_unet:build_diffusers_unet",
    "sngan-energy": "unpoison.nets.energy:SnganEnergy",
    "conv-energy": "unpoison.nets.energy:ConvEnergy",
}
