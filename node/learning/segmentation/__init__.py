"""Which pixel belongs to which organ: slices in, masks out (eq. 11-12 of Kumar et al. 2021).

    ``segcaps``   the capsule network, routing within windows
    ``masks``     training it on masks, and what it answers
    ``scores``    Dice and Hausdorff
    ``crop``      slices cut to the lungs before they are classified

A step before classification and optional; a federation trains classifiers, not this.
"""
