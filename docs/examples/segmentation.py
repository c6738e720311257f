"""Assign a class to every pixel, also in images larger than the input of the model."""

import clip_surgery as cs
from clip_surgery.evaluation import SceneDataset

scene = SceneDataset(seed=11, count=1)[0]
names = sorted(scene.present)
explainer = cs.load("demo")
explanation = explainer(scene.image, names)

[classes] = cs.segment(explanation, background="threshold", threshold=0.6)
print(tuple(classes.shape), classes.unique().tolist())  # -1 is background
cs.palette_image(classes).save("classes.png")

# A class may have several names: each is a text, and the best of them counts.
classes_of = ["dog,cat,fox", "car,bus,train"]
texts = [name for names_of_class in cs.split_names(classes_of) for name in names_of_class]
[classes] = cs.segment(explainer(scene.image, texts), classes_of)
print(classes.unique().tolist())

# A large image is processed in overlapping windows.
large = scene.image.resize((400, 250))
windows = cs.Windows(size=192, stride=48)
explanation = cs.explain_windows(explainer, large, names, windows=windows)
print(explanation.patch_scores[0].shape, tuple(cs.segment(explanation)[0].shape))
