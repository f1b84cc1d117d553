"""Real samples as a program takes them, in turn, with its state where it has one."""

import numpy as np

CALLS = 4
"""Different calls of a batch: more would only fill the memory."""


class Feeds:
    """Examples by the names of the ports; `columns` share their first dimension.

    `state` names pairs (output, input): what came out goes in again with the next sample, and
    starts anew with every pass over the samples. With `whole_calls` an example is all that one
    call takes, whatever the first dimensions of the ports mean.
    """

    def __init__(self, program, columns, ports, state, *, whole_calls=False):
        self.program, self.columns, self.state = program, columns, state
        self.whole_calls = whole_calls
        self.shapes = {port["name"]: port["shape"] for port in ports}
        self.dtypes = {port["name"]: port["dtype"] for port in ports}
        self.num_examples = len(next(iter(columns.values()), [None]))
        self.step = max(shape[0] for shape in self.leading()) if self.leading() else 1
        self.size = max(1, self.num_examples // self.step)
        self.ready, self.carried, self.turn = [], {}, 0

    def leading(self):
        """Return the shapes of the inputs that fix how many examples a call takes."""
        if self.whole_calls:
            return []
        shapes = (self.shapes[name] for name in self.columns)
        return [shape for shape in shapes if shape and isinstance(shape[0], int)]

    def any_batch(self):
        """Tell whether the number of examples of a call is not fixed."""
        shapes = [self.shapes[name] for name in self.columns]
        return not self.state and all(s and isinstance(s[0], str) for s in shapes)

    def stacked(self, name):
        """Tell whether a call takes examples of an input one after another."""
        return bool(self.shapes[name]) and not self.whole_calls

    def sample(self, start, count):
        """Return `count` examples from `start` on, the last one repeated where they run out."""
        rows = np.minimum(np.arange(start, start + count), self.num_examples - 1)
        return {
            name: np.asarray(
                column[rows] if self.stacked(name) else column[start], self.dtypes[name], order="C"
            )
            for name, column in self.columns.items()
        }

    def rows(self, batched):
        """Return how many samples one example is: with `whole_calls` it may be a batch itself."""
        if not self.whole_calls:
            return self.step
        return max((self.columns[name].shape[1] for name in batched), default=1)

    def calls(self, batch, batched):
        """Return what `run` takes for a few calls of `batch` examples each, put together.

        The inputs in `batched` have a first dimension of any size; of others the first is taken.
        """
        if not batched:
            raise ValueError("it takes no more than one example a call")
        made = []
        for start in range(0, CALLS * batch, batch):
            rows = np.arange(start, start + batch) % self.num_examples
            sample = {name: column[rows[0]] for name, column in self.columns.items()}
            for name in batched:
                taken = self.columns[name][rows]
                joined = taken.reshape(-1, *taken.shape[2:]) if self.whole_calls else taken
                sample[name] = joined
            arrays = {n: np.asarray(a, self.dtypes[n], order="C") for n, a in sample.items()}
            made.append(self.program.prepare(arrays))
        return made

    def next(self):
        """Return what the program's `run` takes."""
        index, self.turn = self.turn, (self.turn + 1) % self.size
        if self.state:
            sample = self.sample(index * self.step, self.step)
            return self.program.prepare(sample | self.states(anew=index == 0))
        while len(self.ready) <= index:
            sample = self.sample(len(self.ready) * self.step, self.step)
            self.ready.append(self.program.prepare(sample))
        return self.ready[index]

    def states(self, anew):
        """Return the state to go in: what came out last, or zeros (an unfixed dimension is 1)."""
        if anew or not self.carried:
            self.carried = {
                into: np.zeros(
                    [d if isinstance(d, int) else 1 for d in self.shapes[into]], self.dtypes[into]
                )
                for _, into in self.state
            }
        return self.carried

    def keep(self, raw):
        """Remember the state that came out."""
        if self.state:
            arrays = self.program.arrays(raw)
            self.carried = {into: arrays[out] for out, into in self.state}
