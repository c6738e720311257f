"""Find which words of a sentence match an image, and where."""

import clip_surgery as cs
from clip_surgery.evaluation import SceneDataset

scene = SceneDataset(seed=11, count=1)[0]
explainer = cs.load("demo")
explanation = cs.words(explainer, scene.image, scene.caption)
print(explanation.sentence)
for word in explanation.ranking()[:3]:
    print(f"{word.text:12} {word.score:.3f}")

# The same with gradients through the text tower.
by_gradient = cs.words(explainer, scene.image, scene.caption, evidence="gradient", depth=2)
print([word.text for word in by_gradient.ranking()[:3]])

cs.words_figure(scene.image, explanation).save("words.png")
explanation.save("words.safetensors")
print(cs.WordExplanation.load("words.safetensors").words)
