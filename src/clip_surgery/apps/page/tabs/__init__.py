"""The tabs of the results, one file each."""
