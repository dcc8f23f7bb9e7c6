# The course and its demo without anything but docker:
#
#     docker build --tag minivl .
#     docker run --rm --volume "$PWD/runs:/minivl/runs" minivl                  # make demo; figures and scores in runs/
#     docker run --rm --publish 8888:8888 minivl make lab                       # or any other command
FROM python:3.11-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /minivl
COPY . .
RUN make setup
ENV PATH="/minivl/.venv/bin:$PATH"

CMD ["make", "demo"]
