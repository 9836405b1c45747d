"""Keep the part of a labelled image data set that is worth training on: the library and its command."""
