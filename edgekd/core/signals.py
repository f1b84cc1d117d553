"""The closed vocabulary of signals: the names that a plug-in may ask for.

An objective, measure or data method names the signals it needs as keyword-only parameters. A task
says which of them it can supply, taps add features and attentions, and `plan` checks that all
meet.
"""

# A teacher's signals have no gradient, unless the term that asks says `teacher_learns`.
SIGNALS = {
    "student_logits": "unnormalised scores of the student, [*batch, classes]",
    "teacher_logits": "unnormalised scores of the teacher, [*batch, classes]",
    "labels": "index of the true class, [*batch]; of mixed examples, for terms that can take it, "
    "the share of each class, [*batch, classes]",
    "student_embedding": "the student's vector of each example, [batch, width]",
    "teacher_embedding": "the teacher's vector, [batch, width]",
    "answers": "id of the example that answers each; -1 for one that is an answer, [batch]",
    "student_feature": "what the student's tapped module gave, any shape",
    "teacher_feature": "what the teacher's tapped module gave, any shape",
    "student_second_feature": "what it gave for the second view of each example, any shape",
    "image": "the picture as the networks are given it, [batch, channels, height, width]",
    "visible": "numbers of the patches that the networks are shown, [batch, visible]",
    "hidden": "numbers of the others, in an order by chance, [batch, hidden]",
    "ids": "stable number of each example in its split, [batch]",
    "progress": "share of training done, in [0, 1]",
    "epoch": "epochs that are over",
    "epochs": "epochs in all",
    "losses": "the terms of a combined objective, by name, each [batch]",
}

VISIBLE, HIDDEN = "visible", "hidden"
"""Columns of a batch of which the networks are shown some patches alone."""

PROGRESS = "progress"
"""What every training supplies, whatever its task."""

TAPPED = {
    "student_feature": "student",
    "teacher_feature": "teacher",
    "student_second_feature": "student",
}
"""Signals that a term's `tap` must place, and the model that each is taken from."""

SECOND_FEATURE = "student_second_feature"
"""What asks for a second view of each example, which an augmentation makes."""

EPOCH, EPOCHS = "epoch", "epochs"
"""What a training supplies to who chooses its examples."""

TEACHER = "teacher_"
"""How the name of every signal of a teacher begins; which teacher, a term's `teacher` says."""

EVIDENCE = {
    "latencies_ms": "latency of every measured run in ms, one array per restart",
    "reference_latencies_ms": "the same of the reference, measured in turns with the program",
    "restarts": "what each fresh process took to start and to run, `core.results.Restart`",
    "size_bytes": "bytes of a program's files",
    "reference_size_bytes": "bytes of the reference's files",
}
"""What measures of cost may ask for besides signals."""
