"""The grid: what each method keeps of each data set, spoilt in each way, and what models trained on it are worth."""
