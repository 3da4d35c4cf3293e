"""Evidence by name."""

METHODS = {
    "residuals": "unpoison.auditing.evidence.readability:measure_residuals",
    "residual-textures": "unpoison.auditing.evidence.readability:measure_residual_textures",
    "colour-residuals": "unpoison.auditing.evidence.readability:measure_colour_residuals",
    "denoised": "unpoison.auditing.evidence.readability:measure_denoised",
    "early": "unpoison.auditing.evidence.early:measure",
    "images": "unpoison.auditing.evidence.readability:measure_images",
    "textures": "unpoison.auditing.evidence.readability:measure_textures",
    "coarse": "unpoison.auditing.evidence.readability:measure_coarse",
    "class-means": "unpoison.auditing.evidence.class_means:measure",
    "pixels": "unpoison.auditing.evidence.pixels:measure",
    "repeats": "unpoison.auditing.evidence.repeats:measure",
    "autoregression": "unpoison.auditing.evidence.autoregression:measure",
    "history": "unpoison.auditing.evidence.history:measure",
    "duplicates": "unpoison.auditing.evidence.duplicates:measure",
    "energies": "unpoison.auditing.evidence.energies:measure",
}
