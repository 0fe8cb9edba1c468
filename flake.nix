{
  description = "Confidential AI agents that anyone can check";

  outputs = { self }:
    let
      house = import ./nix { root = ./.; };
      boardroom = { type = "app"; program = "${house.boardroom}/bin/boardroom"; };
    in
    {
      packages.x86_64-linux = {
        default = house.boardroom;
        inherit (house) boardroom seed;
        boardroom-dev = house.boardroomDev;
        inherit (house.guestImages) guest-image guest-image-dev;
        inherit (house.images) hub finance-agent marketing-agent sales-agent ceo-agent;
      };
      apps.x86_64-linux = { inherit boardroom; default = boardroom; };
      checks.x86_64-linux = house.checks;
      lib = { inherit (house) mkAgentImage; };
    };
}
