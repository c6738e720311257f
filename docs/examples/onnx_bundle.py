"""Run an exported bundle with onnxruntime, numpy and Pillow, without PyTorch and this library.

First run: clip-surgery export --model demo --to onnx --labels words.txt --out bundle
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

settings = json.loads(Path("bundle/bundle.json").read_text(encoding="utf-8"))
content = Path("bundle", settings["bank"]).read_bytes()  # length of the header, header, values
start = 8 + int.from_bytes(content[:8], "little")
bank = {}
for name, entry in json.loads(content[8:start]).items():
    if name != "__metadata__":
        first, last = (start + offset for offset in entry["data_offsets"])
        bank[name] = np.frombuffer(content[first:last], "<f4").reshape(entry["shape"])

original = ImageOps.exif_transpose(Image.open("street.png")).convert("RGB")
patch, scale = settings["patch_size"], settings["size"] / min(original.size)
columns, rows = (max(settings["least_patches"], round(s * scale / patch)) for s in original.size)
framed = original.resize((columns * patch, rows * patch), Image.Resampling.BICUBIC)
pixels = np.asarray(framed, np.float32).transpose(2, 0, 1)[None] / 255
session = onnxruntime.InferenceSession(f"bundle/{settings['tower']}")
patches, image = session.run(["patches", "image"], {"pixels": pixels})

# Feature surgery: subtract the mean similarity over the texts, weighted by the image feature.
similarity, shared = patches @ bank["labels"].T, patches @ bank["shared"].T  # (1, P, C)
weights, shared_weights = (
    np.exp(settings["temperature"] * image @ bank[name].T) for name in ("labels", "shared")
)
if settings["weighting"] == "reference":
    similarity = similarity * weights[:, None] / shared_weights.mean()
bias = (shared * shared_weights[:, None] / shared_weights.mean()).mean(axis=2, keepdims=True)
scores = (similarity - bias)[0].T.reshape(-1, rows, columns)

for text, evidence in zip(settings["texts"], scores, strict=True):
    large = np.asarray(Image.fromarray(evidence).resize(original.size, Image.Resampling.BILINEAR))
    heat = (large - large.min()) / max(np.ptp(large), 1e-9)
    Image.fromarray((255 * heat).astype(np.uint8)).save(f"{text}.png")
    print(f"{text}: {evidence.max():.3f}")
