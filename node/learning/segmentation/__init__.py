"""Which pixel belongs to which organ: slices in, masks out (eq. 11-12 of Kumar et al. 2021).

    ``segcaps``   the capsule network, routing within windows
    ``views``     slices and masks seen otherwise, for training
    ``masks``     training it on masks, and what it answers
    ``scores``    Dice and Hausdorff
    ``crop``      slices cut to the lungs before they are classified
    ``file``      a network that finds lungs as canonical bytes, its name (no torch)
    ``lungs``     from masks to such a file, and from the file to crops
    ``drawing``   what it takes for lungs, for people to look at

A step before classification and optional; a federation trains classifiers, not this. Its plan names the network, so that all
prepare alike.
"""
