"""Find which words of a sentence match an image, and where."""

import clip_surgery as cs
from clip_surgery.evaluation import SceneDataset

scene = SceneDataset(seed=11, count=1)[0]
explainer = cs.load("demo")
explanation = cs.words(explainer, scene.image, scene.caption)
print(explanation.sentence, f"R2 {explanation.fit:.2f}")
for word in explanation.ranking()[:3]:
    share = float(explanation.variance_shares[word.position])
    print(f"{word.text:12} {word.score:+.3f}  explains {share:.0%}")

# A phrase counts as one word.
phrase = f"a photo of a {sorted(scene.present)[0]}"
by_phrase = cs.words(explainer, scene.image, phrase, phrases=["a photo of a"])
print(by_phrase.words)

# The two scores of the paper: similarity of the word's tokens, and gradients of the text tower.
by_gradient = cs.words(explainer, scene.image, scene.caption, evidence="gradient", depth=2)
print([word.text for word in by_gradient.ranking()[:3]])

cs.words_figure(scene.image, explanation).save("words.png")
explanation.save("words.safetensors")
print(cs.WordExplanation.load("words.safetensors").words)
