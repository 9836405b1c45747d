"""The flow of each stage: which tasks it runs, in which order; and the flows of the deployments."""

from winnow.run import environment

environment.prepare()  # before Prefect is imported
