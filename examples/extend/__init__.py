"""Examples that replace a layer of Fleetscore: see docs/extend.md."""
