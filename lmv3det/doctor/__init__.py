"""What `lmv3det doctor` looks at: the installation, the machine, and the model's numbers.

Imports every room but engine, ablation and cli, inside functions: a package that cannot be imported
is a finding, not a crash.
"""
