"""What each kind of plug-in must do, a file to each kind: what a stage may use is in `stage.py`.

Kinds without a file are plain functions. A model takes `(options, signature)` and returns an
`nn.Module`. It may register `adopt(options, module, teacher)`, which copies parts of a teacher into
a new module, also where neither has memory, and raises StageError where they do not fit: it is
built by stages with a teacher alone. It may register `calibrate(options, module, signature,
batches)`: what it sets by itself on the validation split when training is over; it returns facts.

A transform takes `(options, model, *, signature, batches)` and returns a model.

A measure takes its options and, by keyword, the signals that it asks for, and returns one value per
example. One that relates examples to each other registers `together=True`: it is given those of a
whole split at once, and may return a value for some of them only.
"""
