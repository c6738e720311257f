"""Gradients: train the image tower through its own maps, here towards the mask of an object."""

import torch

import clip_surgery as cs
from clip_surgery.evaluation import SceneDataset

scenes = SceneDataset(seed=11, count=1)
name, *others = sorted(scenes[0].present)
inside = torch.from_numpy(scenes[0].mask == scenes.names.index(name))  # (H, W)

explainer = cs.load("demo")
texts = explainer.encode([name, *others, "guitar", "bus"])  # constants: no gradients
pixels = explainer.pixels(cs.read_image(scenes[0].image))  # (1, 3, H, W), normalised
optimizer = torch.optim.SGD(explainer.backbone.model.visual.parameters(), lr=0.01)

for step in range(4):
    # The method itself records gradients; calling the explainer gives results without them.
    evidence = explainer.method(explainer.backbone, pixels, texts)
    scores = evidence.patches[:, :1].unflatten(-1, (evidence.grid.rows, evidence.grid.columns))
    [[heat]] = torch.nn.functional.interpolate(scores, size=inside.shape)  # raw scores (H, W)
    contrast = heat[inside].mean() - heat[~inside].mean()
    optimizer.zero_grad()
    (-contrast).backward()
    optimizer.step()
    print(f"step {step}: inside minus outside of the {name} {contrast.item():.2f}")
