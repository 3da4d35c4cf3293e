"""Published poisons by format. Detection asks them in this order, so the particular stand before the general."""

METHODS = {
    "em-pt": "unpoison.poisons.published.em_pt:FORMAT",
    "delusive-pt": "unpoison.poisons.published.whole_sets:DELUSIVE",
    "bullseye-pth": "unpoison.poisons.published.bullseye_pth:FORMAT",
    "puregen-pth": "unpoison.poisons.published.puregen_pth:FORMAT",
    "rem-int8-pkl": "unpoison.poisons.published.rem_int8_pkl:FORMAT",
    "eclipse-pkl": "unpoison.poisons.published.whole_sets:ECLIPSE",
    "avatar-npz": "unpoison.poisons.published.whole_sets:AVATAR",
    "narcissus-npy": "unpoison.poisons.published.narcissus_npy:FORMAT",
    "benchmark-dir": "unpoison.poisons.published.benchmark_dir:FORMAT",
    "tap-npy": "unpoison.poisons.published.whole_sets:TAP",
    "sep-npy": "unpoison.poisons.published.whole_sets:SEP",
    "ntga-npy": "unpoison.poisons.published.whole_sets:NTGA",
    "png-dir": "unpoison.poisons.published.png_dir:FORMAT",
    "puregen-tree": "unpoison.poisons.published.puregen_tree:FORMAT",
}
