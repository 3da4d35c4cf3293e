"""Machinery that attacks share: descent on pixels, the bilevel game, surrogates and targets."""
