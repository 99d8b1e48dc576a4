"""Orders of the sales floor, from the first call to the packed parcel."""
