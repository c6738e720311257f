"""A bundle with onnxruntime, numpy and Pillow alone: no torch, and not this library.

First: clip-surgery export --model demo --to onnx --labels words.txt --out bundle
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

facts = json.loads(Path("bundle/bundle.json").read_text(encoding="utf-8"))
content = Path("bundle", facts["bank"]).read_bytes()  # length of the header, header, numbers
start = 8 + int.from_bytes(content[:8], "little")
bank = {}
for name, entry in json.loads(content[8:start]).items():
    if name != "__metadata__":
        first, last = (start + offset for offset in entry["data_offsets"])
        bank[name] = np.frombuffer(content[first:last], "<f4").reshape(entry["shape"])

picture = ImageOps.exif_transpose(Image.open("street.png")).convert("RGB")
patch, scale = facts["patch_size"], facts["size"] / min(picture.size)
columns, rows = (max(facts["least_patches"], round(s * scale / patch)) for s in picture.size)
framed = picture.resize((columns * patch, rows * patch), Image.Resampling.BICUBIC)
pixels = np.asarray(framed, np.float32).transpose(2, 0, 1)[None] / 255
session = onnxruntime.InferenceSession(f"bundle/{facts['tower']}")
patches, image = session.run(["patches", "image"], {"pixels": pixels})

# Feature surgery: what the texts share, weighted by the image feature, is taken out.
of_labels, of_shared = patches @ bank["labels"].T, patches @ bank["shared"].T  # (1, P, C)
weights, shared_weights = (
    np.exp(facts["temperature"] * image @ bank[rows_of].T) for rows_of in ("labels", "shared")
)
if facts["weighting"] == "reference":
    of_labels = of_labels * weights[:, None] / shared_weights.mean()
bias = (of_shared * shared_weights[:, None] / shared_weights.mean()).mean(axis=2, keepdims=True)
scores = (of_labels - bias)[0].T.reshape(-1, rows, columns)

for text, evidence in zip(facts["texts"], scores, strict=True):
    large = np.asarray(Image.fromarray(evidence).resize(picture.size, Image.Resampling.BILINEAR))
    heat = (large - large.min()) / max(np.ptp(large), 1e-9)
    Image.fromarray((255 * heat).astype(np.uint8)).save(f"{text}.png")
    print(f"{text}: {evidence.max():.3f}")
