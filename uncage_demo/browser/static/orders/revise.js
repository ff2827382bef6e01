// Why a cell was opened again; as orders/revise.py. Of the ways to take cells back, the browser has the redraw.

/** What people read after "Opened again: "; a record holds a place in this list. The first means "not opened". */
export const REASONS = Object.freeze([
  "",
  "in every step some of the committed cells, chosen at random, are opened.",
  "the model now finds its token less probable than one that waited.",
  "since it was committed, the model has found its token less probable than any other cell's.",
  "with the cell itself hidden, the model finds its token less probable than any other cell's.",
  "it belongs to no object's kept place.",
  "attention cannot vouch for the attributes of the object in this place.",
  "beside what this step commits, the model without the prompt finds its token less probable than any other cell's.",
  "it looks around in the picture less as the guiding picture does than cells that wait.",
]);
export const ELSEWHERE = 5;
export const UNVOUCHED = 6;
