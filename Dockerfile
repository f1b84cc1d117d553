# Two images from one file.
#
#   full     (default, last)     edgekd with torch, ExecuTorch and all else that a pipeline needs.
#   runtime  (--target runtime)  `edgekd bench` of .onnx files, for devices: no torch. What a .pte
#                                file takes is read by ExecuTorch's Python binding, which needs it.
#
# How to use them: docs/docker.md

ARG BASE_IMAGE=python:3.11-slim


# The lists of what pip installs. The stages below copy the lists alone, so neither a change of the
# source nor one elsewhere in pyproject.toml installs torch anew.
FROM ${BASE_IMAGE} AS requirements
WORKDIR /lists
COPY docker/requirements.py pyproject.toml ./
RUN python3 requirements.py pyproject.toml .


FROM ${BASE_IMAGE} AS full-packages
COPY --from=requirements /lists/full.txt /lists/full.txt
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --requirement /lists/full.txt


# pip goes again: nothing is installed in this image later. So do the packages' own tests; and
# bytecode there is only of what is imported: nobody could write it later, and of all it is 43 MB.
FROM ${BASE_IMAGE} AS runtime-packages
COPY --from=requirements /lists/slim.txt /lists/slim.txt
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --no-compile --requirement /lists/slim.txt \
    && /opt/venv/bin/pip uninstall --yes setuptools pip \
    && find /opt/venv/lib -type d -name tests -prune -exec rm -r {} + \
    && /opt/venv/bin/python3 -c "import filelock, jinja2, matplotlib.backends.backend_svg, \
        matplotlib.figure, numpy.random, onnxruntime, packaging.requirements, psutil, pydantic, \
        rich.console, ruamel.yaml, typer.rich_utils"


# edgekd itself, without what it depends on: a folder to be laid over the environment above, so
# that its layer is small and the environment's stays as it is.
FROM ${BASE_IMAGE} AS package
COPY --from=requirements /lists/build.txt /lists/build.txt
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --requirement /lists/build.txt
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY pipelines pipelines
COPY targets targets
COPY edgekd edgekd
RUN /opt/venv/bin/pip install --no-cache-dir --no-build-isolation --no-deps --prefix /package .


# What changes most comes last in both images. In both the home is everybody's, and the user has a
# name without /etc/passwd: a run under the caller's own user id, which a mounted folder may ask
# for, finds both.
FROM ${BASE_IMAGE} AS runtime
LABEL org.opencontainers.image.title="edgekd runtime" \
      org.opencontainers.image.description="Measures model files on devices, without torch" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/home/edgekd \
    USER=edgekd \
    PYTHONUNBUFFERED=1
RUN useradd --create-home --user-group --uid 1000 edgekd \
    && install --directory --mode 1777 /home/edgekd /home/edgekd/.cache \
    && install --directory --owner edgekd --group edgekd /work
WORKDIR /work
USER 1000:1000
ENTRYPOINT ["edgekd"]
CMD ["bench", "--help"]
COPY --from=runtime-packages /opt/venv /opt/venv
COPY --from=package /package /opt/venv


FROM ${BASE_IMAGE} AS full
LABEL org.opencontainers.image.title="edgekd" \
      org.opencontainers.image.description="Distil, compress, export and measure models for devices" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/home/edgekd \
    USER=edgekd \
    PYTHONUNBUFFERED=1
RUN useradd --create-home --user-group --uid 1000 edgekd \
    && install --directory --mode 1777 /home/edgekd /home/edgekd/.cache \
    && install --directory --owner edgekd --group edgekd /work
WORKDIR /work
USER 1000:1000
ENTRYPOINT ["edgekd"]
CMD ["--help"]
COPY --from=full-packages /opt/venv /opt/venv
COPY --from=package /package /opt/venv
